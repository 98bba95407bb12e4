from netlists.vacask.readout import *
