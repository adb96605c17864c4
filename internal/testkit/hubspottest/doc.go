// Package hubspottest is a HubSpot for tests: contacts, companies and what associates
// them, behind the part of HubSpot's API that authsync uses, on a server of its own. Only tests import it.
//
// It is stricter than a real one where a real one is not known well:
//   - reads and batches find a contact by its primary e-mail address only, while
//     creating one with another's secondary address is refused;
//   - a batch keyed by e-mail fails as a whole when one row does, and names only the
//     first; a batch keyed by a unique property answers row by row;
//   - a company needs a name or a domain; two may have the same;
//   - a batch of associations that names an object that is not there associates the others,
//     while one that removes associations removes none;
//   - search finds what was written only after a while.
//
// What it finds fault with that a client can avoid, it keeps; see HubSpot.Violations.
package hubspottest
