from netlists.devices import *
