from netlists.jobs import *
