package trustlist

// The elements of a header stand in an order that real files have, and in no
// other. The signature covers a file without its SIGNATURE element: were that free
// to move, one signed file could be written in many ways, each with a checksum of
// its own.

// headerOrders are the orders of all header elements in the files that are known,
// containers in front of what they contain. Elements may be absent, as those of
// encryption are from all but .enc.sgn files. Unknown elements follow all of these,
// and padding follows them.
var headerOrders = [...][]Tag{
	// CUCM: the prints of `show ctl` in Cisco documents 118892 and 118893, and of
	// `show itl` in the CUCM 10.0 note. certutils wrote this order until 2021, and
	// its enccnf is the source for 0x10 to 0x1b. Where CUCM has 0x1c is not known;
	// it is presumed to be where certutils has it.
	{
		tagVersion, tagHeaderLength, tagSignerVersion,
		tagSignerID, tagSignerName, tagSignerSerial, tagSignerIssuer,
		tagSignatureInfo, tagDigestAlgorithm, tagSignatureAlgo, tagAlgorithm, tagModulus,
		tagSignature, tagFileName, tagTimestamp,
		tagEncryptionInfo, tagIVInfo, tagIVAlgorithm, tagIV, tagPadLength,
		tagKeyInfo, tagKeyAlgorithm, tagKeyBits, tagWrapAlgorithm, tagWrappedKey,
		tagPlainDigest, tagPlainHash,
	},
	// certutils today: CANAME before SERIALNUMBER, read in a list of December 2025
	// (testdata/wild-itl.tlv). All else is alike.
	{
		tagVersion, tagHeaderLength, tagSignerVersion,
		tagSignerID, tagSignerName, tagSignerIssuer, tagSignerSerial,
		tagSignatureInfo, tagDigestAlgorithm, tagSignatureAlgo, tagAlgorithm, tagModulus,
		tagSignature, tagFileName, tagTimestamp,
		tagEncryptionInfo, tagIVInfo, tagIVAlgorithm, tagIV, tagPadLength,
		tagKeyInfo, tagKeyAlgorithm, tagKeyBits, tagWrapAlgorithm, tagWrappedKey,
		tagPlainDigest, tagPlainHash,
	},
}

// containers says in which element each element stands, in every order.
var containers = [lastHeaderTag + 1]Tag{
	tagSignerName: tagSignerID, tagSignerSerial: tagSignerID, tagSignerIssuer: tagSignerID,
	tagDigestAlgorithm: tagSignatureInfo, tagSignatureAlgo: tagSignatureInfo,
	tagAlgorithm: tagSignatureAlgo, tagModulus: tagSignatureAlgo,
	tagIVInfo: tagEncryptionInfo, tagKeyInfo: tagEncryptionInfo,
	tagIVAlgorithm: tagIVInfo, tagIV: tagIVInfo, tagPadLength: tagIVInfo,
	tagKeyAlgorithm: tagKeyInfo, tagKeyBits: tagKeyInfo, tagWrapAlgorithm: tagKeyInfo, tagWrappedKey: tagKeyInfo,
}

// topLevel is the container of elements that stand in none.
const topLevel Tag = 0

// containerNames are the elements that contain others, for error texts.
var containerNames = [lastHeaderTag + 1]string{
	tagSignerID: "SIGNERID", tagSignatureInfo: "SIGNATUREINFO", tagSignatureAlgo: "SIGNATUREALGOINFO",
	tagEncryptionInfo: "encryption information", tagIVInfo: "encryption information", tagKeyInfo: "encryption information",
}

func isContainer(t Tag) bool { return containerNames[t] != "" }

func containerName(t Tag) string {
	if t == topLevel {
		return "outside a container"
	}
	return "in " + containerNames[t]
}

// notThisOrder is behind every place of an order: nothing can follow it.
const notThisOrder = 0xff

// headerPlaces has the place of each tag in each of headerOrders, counted from 1.
var headerPlaces = func() (places [len(headerOrders)][lastHeaderTag + 1]uint8) {
	for i, order := range headerOrders {
		for at, tag := range order {
			places[i][tag] = uint8(at + 1)
		}
	}
	return places
}()
