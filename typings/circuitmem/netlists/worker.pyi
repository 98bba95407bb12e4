from netlists.worker import *
