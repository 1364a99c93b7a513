"""The numbers of Xue et al. 2025 (SNRAware), as printed."""

# Table 2: (proposed, without g-factor, without MR noise, without recon knowledge); None where none was trained.
Four = tuple[float, float | None, float | None, float | None]
TABLE2_PSNR: dict[str, Four] = {
    "hrnet-cnnt-large": (54.89698, 48.13811, 41.31241, 40.48224),
    "hrnet-cnnt": (54.13667, 49.19455, 41.51258, 40.38141),
    "hrnet-swin3d": (53.77681, 49.54128, 42.53329, 41.23401),
    "hrnet-vit3d": (51.75421, 49.88557, 47.9071, 44.0014),
    "hrnet-conv3d": (50.74263, 49.05661, 48.72905, 41.51646),
    "hrnet-vit2d": (46.95545, None, None, None),
    "hrnet-conv2d": (46.67031, None, None, None),
    "unet-cnnt-large": (54.70398, 47.65097, 41.52626, 40.31814),
    "unet-cnnt": (54.09462, 48.9332, 41.51152, 40.48785),
    "unet-swin3d": (51.58844, 45.2311, 46.46576, 41.21689),
    "unet-vit3d": (51.25344, 50.48932, 49.30984, 44.25077),
    "unet-conv3d": (51.78548, 50.02364, 46.15332, 40.96275),
    "unet-vit2d": (46.53302, None, None, None),
    "unet-conv2d": (47.43377, None, None, None),
}
TABLE2_SSIM: dict[str, Four] = {
    "hrnet-cnnt-large": (0.70471, 0.55817, 0.37283, 0.37647),
    "hrnet-cnnt": (0.67622, 0.57645, 0.37639, 0.37533),
    "hrnet-swin3d": (0.67898, 0.58599, 0.402, 0.39727),
    "hrnet-vit3d": (0.62632, 0.59992, 0.54525, 0.47964),
    "hrnet-conv3d": (0.60142, 0.57271, 0.56566, 0.46434),
    "hrnet-vit2d": (0.47747, None, None, None),
    "hrnet-conv2d": (0.46782, None, None, None),
    "unet-cnnt-large": (0.69784, 0.54617, 0.37882, 0.37367),
    "unet-cnnt": (0.67355, 0.57025, 0.37785, 0.37749),
    "unet-swin3d": (0.62817, 0.48382, 0.50779, 0.3971),
    "unet-vit3d": (0.62002, 0.60346, 0.57839, 0.48495),
    "unet-conv3d": (0.62299, 0.58958, 0.49493, 0.43549),
    "unet-vit2d": (0.46882, None, None, None),
    "unet-conv2d": (0.49678, None, None, None),
}

# Table 3: (raw, proposed), mean and SD over the scans; p of the paired t-test between the two.
TABLE3: dict[str, dict[str, tuple[str, str, float]]] = {
    "real-time cine, R=5": {
        "SNR blood": ("13.474 +- 4.846", "70.043 +- 11.704", 1.6936e-08),
        "SNR myocardium": ("5.806 +- 2.200", "20.395 +- 3.220", 2.166e-07),
        "CNR blood - myocardium": ("7.668 +- 2.981", "49.648 +- 9.804", 9.2284e-08),
    },
    "perfusion, R=4": {
        "SNR blood": ("24.542 +- 14.805", "74.054 +- 26.319", 9.2301e-17),
        "SNR myocardium": ("4.514 +- 2.688", "16.689 +- 5.861", 5.5756e-16),
        "CNR blood - myocardium": ("20.028 +- 12.419", "57.365 +- 24.628", 2.6235e-13),
    },
}
