from netlists.vacask.step import *
