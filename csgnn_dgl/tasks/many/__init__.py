"""Work on more structures or shapes than fit into memory, in many processes, by Dask.

:mod:`.job` says what is done; :mod:`.run` does it; :mod:`.part` is what each worker process does;
:mod:`.results` is the folder of results; :mod:`.cluster` finds the workers.
"""
