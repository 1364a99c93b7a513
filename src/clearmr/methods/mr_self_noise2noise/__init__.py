"""MR-self Noise2Noise (Jung et al. 2022): see README.md in this folder."""
