from netlists.vacask.law import *
