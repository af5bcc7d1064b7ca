package web

// What the sources leave open about a phone's pages, and what is this project's
// own:
//
//   - "CTL file" and "ITL file" say "Installed"; what real phones show beside the
//     signature is not documented.
//   - The page of the trust lists is the phone's menu, which has no address on
//     real phones. Its rows are the menu's.
//   - Debug display has the alarms that wait, how many were dropped or refused, and
//     the reason of the last boot cycle, in the Name=Value form of other alarms.
//   - Refused pages answer 403; real phones close the connection.
