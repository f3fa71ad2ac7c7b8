"""The backend `openvino`: its models, and the ranges that 8-bit integers need."""
