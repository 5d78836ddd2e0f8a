"""Writing: the queue of a transaction, the sender that journals each write, and the look-up of lost responses.

The package may import ``read``, ``store``, ``api``, ``resources`` and ``settings``; ``sqlite``, ``registration`` and
``cli`` use it. ``write.Write`` is one checked write, ``queue.Queue`` holds the writes of a transaction until COMMIT,
``sender.Sender`` sends one write at most once, and ``recovery`` settles the writes that a crash or a lost response left
open. Import these modules directly: the package exports nothing, so that importing one module does not load the others.
"""
