"""What the numbers of label maps mean, per program.

fsl-fast   FSL FAST, three classes of a T1: *_seg.nii.gz (Zhang, Brady & Smith 2001; FSL's user guide)
fsl-first  FSL FIRST, *_all_fast_firstseg.nii.gz (Patenaude et al. 2011; FSL's user guide, "Labels")
freesurfer aseg.mgz of FreeSurfer (FreeSurferColorLUT.txt); SynthSeg writes the same numbers (Billot et al. 2023)
"""

_SUBCORTICAL = {
    10: "left thalamus",
    11: "left caudate",
    12: "left putamen",
    13: "left pallidum",
    16: "brain stem",
    17: "left hippocampus",
    18: "left amygdala",
    26: "left accumbens",
    49: "right thalamus",
    50: "right caudate",
    51: "right putamen",
    52: "right pallidum",
    53: "right hippocampus",
    54: "right amygdala",
    58: "right accumbens",
}
_WHOLE_BRAIN = {
    2: "left cerebral white matter",
    3: "left cerebral cortex",
    4: "left lateral ventricle",
    5: "left inferior lateral ventricle",
    7: "left cerebellum white matter",
    8: "left cerebellum cortex",
    14: "3rd ventricle",
    15: "4th ventricle",
    24: "CSF",
    28: "left ventral DC",
    41: "right cerebral white matter",
    42: "right cerebral cortex",
    43: "right lateral ventricle",
    44: "right inferior lateral ventricle",
    46: "right cerebellum white matter",
    47: "right cerebellum cortex",
    60: "right ventral DC",
}
LABEL_NAMES: dict[str, dict[int, str]] = {
    "fsl-fast": {1: "CSF", 2: "GM", 3: "WM"},
    "fsl-first": _SUBCORTICAL,
    "freesurfer": {**_WHOLE_BRAIN, **_SUBCORTICAL},
}
