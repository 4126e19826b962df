"""What the command line does: chains of bundles' stages, and the checks of settings that people type."""
