// Cells of the Int32Array through which the worker thread tells the supervisor where it is.
'use strict';
module.exports = {
  STEP: 0, // 0 while the thread starts, 1 from the begin of the load, one more for every invocation begun
  CURRENT: 1, // index of the invocation begun last, -1 before the first
  NEXT: 2, // all invocations before this index are in the ledger
  LATE: 3, // 1 once something failed that user code had left running
  PROGRESS_BYTES: 16,
};
