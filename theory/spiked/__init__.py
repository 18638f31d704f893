"""The spiked matrix-tensor model in high dimension: dynamics, Hessian, landscape."""
