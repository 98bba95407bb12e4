"""The same circuits for VACASK: their netlists, its devices in Verilog-A, and the worker that runs it.

``text`` formats numbers and checks what is sent; ``elements`` writes the lines of elements; ``tile``, ``readout``,
``program`` and ``step`` make circuits of what :mod:`circuitmem.netlists.wiring` and the converters' elements say;
``simulator`` runs VACASK in a process and a folder of its own for each job, from a ``worker``.
"""
