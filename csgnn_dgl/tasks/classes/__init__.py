"""Classification of shapes: training, evaluation, prediction."""
