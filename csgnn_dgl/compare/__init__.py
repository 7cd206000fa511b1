"""Train and test many systems under one protocol: the tables of the paper, and what is beside them.

``tables`` says what the cells of a table are, ``settings`` what a user chose, ``store`` where cells
lie, ``check`` which data can be used, ``cells`` how one is trained and tested, ``runner`` which are
still missing, ``report`` what they show. Only ``check`` and ``cells`` import torch.
"""
