from netlists.vacask.text import *
