from netlists.vacask.simulator import *
