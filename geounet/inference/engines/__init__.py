"""What computes tiles: torch or OpenVINO, CPU or CUDA, exact or blended."""
