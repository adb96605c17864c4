// A Better Auth server with the plugin of clients/better-auth, in front of PostgreSQL.
import { betterAuth } from "better-auth";
import { admin, anonymous, emailOTP, magicLink, organization, phoneNumber, twoFactor, username } from "better-auth/plugins";
import pg from "pg";
import { authsync } from "@authsync/better-auth";

/** What would be mailed: by address. */
export const mail = new Map();

export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 5 });

export const auth = betterAuth({
  database: pool,
  secret: "of-this-test-alone-and-long-enough",
  baseURL: "http://localhost:3000",
  telemetry: { enabled: false },
  rateLimit: { enabled: false },
  emailAndPassword: {
    enabled: true,
    revokeSessionsOnPasswordReset: true,
    sendResetPassword: async ({ user, token }) => void mail.set(user.email, token),
  },
  socialProviders: {
    google: {
      clientId: "this-test",
      clientSecret: "of-this-test-alone",
      verifyIdToken: async () => true,
      getUserInfo: async ({ idToken: email }) => ({ user: { email, name: "By Google", emailVerified: true }, data: { sub: email } }),
    },
  },
  session: { additionalFields: { device: { type: "string", required: false } } },
  emailVerification: { sendVerificationEmail: async ({ user, token }) => void mail.set(user.email, token) },
  user: {
    changeEmail: { enabled: true, updateEmailWithoutVerification: true },
    deleteUser: { enabled: true },
    additionalFields: { note: { type: "string", required: false, defaultValue: "for nobody else", returned: false } },
  },
  plugins: [
    username(),
    admin(),
    anonymous(),
    twoFactor({ skipVerificationOnEnable: true, otpOptions: { sendOTP: async ({ user, otp }) => void mail.set(user.email, otp) } }),
    emailOTP({ changeEmail: { enabled: true }, sendVerificationOTP: async ({ email, otp }) => void mail.set(email, otp) }),
    magicLink({ sendMagicLink: async ({ email, token }) => void mail.set(email, token) }),
    phoneNumber({
      sendOTP: async ({ phoneNumber, code }) => void mail.set(phoneNumber, code),
      sendPasswordResetOTP: async ({ phoneNumber, code }) => void mail.set(phoneNumber, code),
      signUpOnVerification: { getTempEmail: (number) => `${number.slice(1)}@example.com` },
    }),
    organization({ teams: { enabled: true } }),
    authsync({
      sessions: true,
      outbox: process.env.OUTBOX !== "off",
      maxWait: Number(process.env.MAX_WAIT ?? 1000),
      timeout: Number(process.env.TIMEOUT ?? 10_000),
    }),
  ],
});
