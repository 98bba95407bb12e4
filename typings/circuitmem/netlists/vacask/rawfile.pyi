from netlists.vacask.rawfile import *
