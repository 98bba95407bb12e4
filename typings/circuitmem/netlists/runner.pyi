from netlists.runner import *
