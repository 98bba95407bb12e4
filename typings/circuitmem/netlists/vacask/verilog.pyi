from netlists.vacask.verilog import *
