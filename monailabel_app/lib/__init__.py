"""Parts of the MONAI Label app: thin shells over MONAI Label's classes around `common.labelling`."""
