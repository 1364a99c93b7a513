"""Noise2Average (Li et al. 2026): repeats of one subject, each taught to be like the average of all, round by round."""
