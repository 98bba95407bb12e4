from netlists.vacask.installation import *
