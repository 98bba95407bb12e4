from netlists.vacask.states import *
