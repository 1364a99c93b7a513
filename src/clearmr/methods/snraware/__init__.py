"""SNRAware (Xue et al. 2025): denoising trained in SNR units with g-factor-shaped MR noise made on the fly."""
