"""SPICE netlists of tiles and their converters, and the process that runs them through ngspice.

``text`` formats numbers and checks what is sent; ``wiring`` turns a tile into nodes and branches; ``tile`` and
``readout`` write circuits with PySpice; ``runner`` keeps a ``worker`` process in which ``simulator`` holds libngspice.
"""
