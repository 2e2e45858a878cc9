"""CVT-IO: camera-only bird's-eye-view segmentation through a small latent array."""
