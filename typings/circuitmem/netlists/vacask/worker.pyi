from netlists.vacask.worker import *
