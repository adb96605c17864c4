// The actions of Better Auth that act.mjs does not call, each with the reason. One that a new version has is in neither: the
// test fails until somebody has looked whether it writes what is mirrored.
import { uncalled } from "./browser.mjs";

const reasons = {
  "only reads": [
    "verifyPassword", "requestPasswordResetCallback", "listSessions", "isUsernameAvailable", "getUser", "listUsers",
    "listUserSessions", "userHasPermission", "getTOTPURI", "viewBackupCodes", "getVerificationOTP", "checkVerificationOTP", "getOrganization",
    "getFullOrganization", "listOrganizations", "getInvitation", "listInvitations", "getActiveMember", "checkOrganizationSlug",
    "listUserInvitations", "listMembers", "getActiveMemberRole", "listOrganizationTeams", "listUserTeams", "listTeamMembers", "hasPermission",
    "ok", "error", "generateTOTP",
  ],
  "writes accounts and verifications, which are not mirrored": [
    "setPassword", "refreshToken", "getAccessToken", "accountInfo", "createVerificationOTP", "consumePhoneNumberOTP",
  ],
  "writes what signInSocial writes with an id token, after a request to a provider": ["callbackOAuth"],
  "deletes what deleteUser deletes, after a mail": ["deleteUserCallback"],
  "signs in as verifyTwoFactorOTP does": ["verifyTOTP"],
  "another name of requestPasswordResetEmailOTP": ["forgetPasswordEmailOTP"],
};

/** requireEveryAction requires that each action was called, or has its reason. */
export function requireEveryAction() {
  const left = uncalled();
  const known = Object.values(reasons).flat();
  const unknown = left.filter((name) => !known.includes(name));
  const outdated = known.filter((name) => !left.includes(name));
  if (unknown.length + outdated.length > 0) {
    throw new Error(`neither called nor in actions.mjs: ${unknown}; in actions.mjs, but called or unknown: ${outdated}`);
  }
}
