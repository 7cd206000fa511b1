"""What is trained and evaluated: run directories, weights, training, inference."""
