// The transaction bundle of a claim.
const IDENTIFIER = 'https://fhir.dha.go.ke/eclaims/Identifier/claim-number'

export function bundleOf(row) {
  const { patient, diagnosis, intervention } = row.content
  const resources = [
    { resourceType: 'Patient', identifier: [{ value: patient }] },
    { resourceType: 'Organization', identifier: [{ value: row.facility }] },
    { resourceType: 'Coverage', status: 'active', payor: [{ display: row.payer }] },
    {
      resourceType: 'Claim',
      identifier: [{ system: IDENTIFIER, value: row.identifier }],
      status: 'active',
      use: row.claim_type,
      diagnosis: [{ sequence: 1, diagnosisCodeableConcept: { coding: [{ code: diagnosis }] } }],
      item: [{ sequence: 1, productOrService: { coding: [{ code: intervention }] } }],
    },
  ]
  return { resourceType: 'Bundle', type: 'transaction', entry: resources.map((resource) => ({ resource })) }
}
