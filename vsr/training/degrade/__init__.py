"""From HR clips to LR clips: blur, resize, noise, JPEG and real video encoders, by a description in TOML."""
