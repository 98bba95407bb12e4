from netlists.readout import *
