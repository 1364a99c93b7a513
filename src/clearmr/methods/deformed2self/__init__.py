"""Deformed2Self (Xu & Adalsteinsson 2021): a noisy dynamic series denoised from itself, by the frames beside each."""
