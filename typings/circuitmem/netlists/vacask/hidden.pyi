from netlists.vacask.hidden import *
