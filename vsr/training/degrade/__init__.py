"""Makes LR clips from HR clips with blur, resizing, noise, JPEG and real
video encoders, as a TOML table describes."""
