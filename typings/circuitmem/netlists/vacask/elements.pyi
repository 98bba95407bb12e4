from netlists.vacask.elements import *
