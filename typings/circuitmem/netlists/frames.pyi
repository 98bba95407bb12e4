from netlists.frames import *
