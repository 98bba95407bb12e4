from netlists.vacask.tile import *
