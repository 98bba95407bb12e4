from netlists.vacask import *
