"""Pages that show a file, a prediction or a run in any browser, without a network.

:func:`~csgnn_dgl.viewing.view.view_file` is behind ``csgnn-dgl view``, and
:func:`~csgnn_dgl.viewing.report.write_report` behind ``csgnn-dgl report``. They show what the
functions of :mod:`csgnn_dgl.tasks` return, and compute no prediction of their own.
"""
