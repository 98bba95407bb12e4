from netlists.vacask.program import *
