from netlists.adc import *
