"""The same circuits for VACASK: their netlists, its devices in Verilog-A, and the worker that runs it.

``text`` formats numbers and checks what is sent; ``elements`` writes the lines of elements; ``tile``, ``readout``,
``program`` and ``step`` build circuits from :mod:`circuitmem.netlists.wiring` and the converters' elements;
``simulator``, which runs in a ``worker``, gives each job a VACASK process and a folder of its own.
"""
