"""Training: loop, checkpoint, losses. No word of any paper."""
